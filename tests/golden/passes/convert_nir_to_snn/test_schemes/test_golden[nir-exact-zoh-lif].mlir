builtin.module attributes {nir.assumptions = [#nir.assumption<"given", "dt", "0.001 s">, #nir.assumption<"given", "scheme", "nir-exact-zoh: exponential decay, gains from r and w_in, a neuron fires where v > threshold, an input value is a current that lasts one step">, #nir.assumption<"note", "reset", "to v_reset, as the file says, for 'n'">, #nir.assumption<"given", "initial state", "v = v_leak for 'n'">], nir.dt = 1.000000e-03 : f64} {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = [#snn.state<"n", "v", dense<2.500000e-01> : tensor<f32>>], scheme = "nir-exact-zoh"} {
  ^bb0(%x: tensor<2xf32>, %v: tensor<2xf32>):
    %n = snn.filter %x, %v {decay = dense<0.951229453> : tensor<f32>, gain = dense<0.14631173> : tensor<f32>, node = "n"} : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    %n_1 = snn.add %n {constant = dense<0.0121926442> : tensor<f32>, node = "n"} : (tensor<2xf32>) -> tensor<2xf32>
    %n_2 = snn.fire %n_1 {threshold = dense<1.500000e+00> : tensor<f32>, compare = ">", node = "n"} : (tensor<2xf32>) -> tensor<2xi1>
    %n_3 = snn.reset %n_1, %n_2 {kind = "value", amount = dense<-5.000000e-01> : tensor<f32>, node = "n"} : (tensor<2xf32>, tensor<2xi1>) -> tensor<2xf32>
    snn.yield %n_2, %n_3 : tensor<2xi1>, tensor<2xf32>
  }
}
