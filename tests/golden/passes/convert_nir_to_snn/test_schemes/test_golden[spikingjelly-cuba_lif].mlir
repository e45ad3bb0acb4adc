builtin.module attributes {nir.assumptions = [#nir.assumption<"given", "dt", "0.001 s">, #nir.assumption<"given", "scheme", "spikingjelly: forward Euler, gains from r and w_in, a neuron fires where v >= threshold, an input value is a current that lasts one step">, #nir.assumption<"given", "reset", "to v_reset for 'n'">], nir.dt = 1.000000e-03 : f64} {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = [#snn.state<"n", "i", dense<0.000000e+00> : tensor<f32>>, #snn.state<"n", "v", dense<-5.000000e-01> : tensor<f32>>], scheme = "spikingjelly"} {
  ^bb0(%x: tensor<2xf32>, %i: tensor<2xf32>, %v: tensor<2xf32>):
    %n = snn.filter %x, %i {decay = dense<8.000000e-01> : tensor<f32>, gain = dense<4.000000e-01> : tensor<f32>, node = "n"} : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    %n_1 = snn.filter %n, %v {decay = dense<9.500000e-01> : tensor<f32>, gain = dense<1.500000e-01> : tensor<f32>, node = "n"} : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    %n_2 = snn.add %n_1 {constant = dense<1.250000e-02> : tensor<f32>, node = "n"} : (tensor<2xf32>) -> tensor<2xf32>
    %n_3 = snn.fire %n_2 {threshold = dense<1.500000e+00> : tensor<f32>, compare = ">=", node = "n"} : (tensor<2xf32>) -> tensor<2xi1>
    %n_4 = snn.reset %n_2, %n_3 {kind = "value", amount = dense<-5.000000e-01> : tensor<f32>, node = "n"} : (tensor<2xf32>, tensor<2xi1>) -> tensor<2xf32>
    snn.yield %n_3, %n, %n_4 : tensor<2xi1>, tensor<2xf32>, tensor<2xf32>
  }
}
