builtin.module attributes {nir.assumptions = [#nir.assumption<"given", "dt", "0.001 s">, #nir.assumption<"given", "scheme", "norse-subtract: forward Euler, gains 1-a (LIF), w(1-b) (synapse), a neuron fires where v > threshold, an input value is a current that lasts one step">, #nir.assumption<"given", "reset", "by subtraction of the threshold for 'n'">, #nir.assumption<"given", "initial state", "v = v_leak for 'n'">], nir.dt = 1.000000e-03 : f64} {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = [#snn.state<"n", "i", dense<2.500000e-01> : tensor<f32>>, #snn.state<"n", "v", dense<2.500000e-01> : tensor<f32>>], scheme = "norse-subtract"} {
  ^bb0(%x: tensor<2xf32>, %i: tensor<2xf32>, %v: tensor<2xf32>):
    %n = snn.filter %x, %i {decay = dense<8.000000e-01> : tensor<f32>, gain = dense<4.000000e-01> : tensor<f32>, node = "n"} : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    %n_1 = snn.add %n {constant = dense<5.000000e-02> : tensor<f32>, node = "n"} : (tensor<2xf32>) -> tensor<2xf32>
    %n_2 = snn.filter %n_1, %v {decay = dense<9.500000e-01> : tensor<f32>, gain = dense<1.500000e-01> : tensor<f32>, node = "n"} : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    %n_3 = snn.add %n_2 {constant = dense<1.250000e-02> : tensor<f32>, node = "n"} : (tensor<2xf32>) -> tensor<2xf32>
    %n_4 = snn.fire %n_3 {threshold = dense<1.500000e+00> : tensor<f32>, compare = ">", node = "n"} : (tensor<2xf32>) -> tensor<2xi1>
    %n_5 = snn.reset %n_3, %n_4 {kind = "subtract", amount = dense<1.500000e+00> : tensor<f32>, node = "n"} : (tensor<2xf32>, tensor<2xi1>) -> tensor<2xf32>
    snn.yield %n_4, %n_1, %n_5 : tensor<2xi1>, tensor<2xf32>, tensor<2xf32>
  }
}
