builtin.module attributes {nir.assumptions = [#nir.assumption<"given", "dt", "0.001 s">, #nir.assumption<"given", "scheme", "snntorch-subtract: forward Euler, gains unit (LIF), unit (synapse), a neuron fires where v > threshold, an input value is a current that lasts one step">, #nir.assumption<"given", "reset", "by subtraction of the threshold for 'n'">], nir.dt = 1.000000e-03 : f64} {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = [#snn.state<"n", "i", dense<0.000000e+00> : tensor<f32>>, #snn.state<"n", "v", dense<0.000000e+00> : tensor<f32>>], scheme = "snntorch-subtract"} {
  ^bb0(%x: tensor<2xf32>, %i: tensor<2xf32>, %v: tensor<2xf32>):
    %n = snn.fire %v {threshold = dense<3.750000e+00> : tensor<f32>, compare = ">", node = "n"} : (tensor<2xf32>) -> tensor<2xi1>
    %n_1 = snn.filter %x, %i {decay = dense<8.000000e-01> : tensor<f32>, gain = dense<1.000000e+00> : tensor<f32>, node = "n"} : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    %n_2 = snn.filter %n_1, %v {decay = dense<9.500000e-01> : tensor<f32>, gain = dense<1.000000e+00> : tensor<f32>, node = "n"} : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    %n_3 = snn.reset %n_2, %n {kind = "subtract", amount = dense<3.750000e+00> : tensor<f32>, node = "n"} : (tensor<2xf32>, tensor<2xi1>) -> tensor<2xf32>
    %n_4 = snn.fire %n_3 {threshold = dense<3.750000e+00> : tensor<f32>, compare = ">", node = "n"} : (tensor<2xf32>) -> tensor<2xi1>
    %n_5 = snn.reset %n_2, %n_4 {kind = "subtract", amount = dense<3.750000e+00> : tensor<f32>, node = "n"} : (tensor<2xf32>, tensor<2xi1>) -> tensor<2xf32>
    snn.yield %n_4, %n_1, %n_5 : tensor<2xi1>, tensor<2xf32>, tensor<2xf32>
  }
}
