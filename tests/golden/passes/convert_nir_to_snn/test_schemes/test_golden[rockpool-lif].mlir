builtin.module attributes {nir.assumptions = [#nir.assumption<"given", "dt", "0.001 s">, #nir.assumption<"given", "scheme", "rockpool: exponential decay, gains unit (LIF), unit (synapse), a neuron fires where v >= threshold, floor(v/threshold) times, an input value is a current that lasts one step">, #nir.assumption<"given", "reset", "by subtraction of the threshold for 'n'">, #nir.assumption<"given", "gain", "r of 'n' is not used, as in the simulator of rockpool">], nir.dt = 1.000000e-03 : f64} {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = [#snn.state<"n", "v", dense<0.000000e+00> : tensor<f32>>], scheme = "rockpool"} {
  ^bb0(%x: tensor<2xf32>, %v: tensor<2xf32>):
    %n = snn.filter %x, %v {decay = dense<0.951229453> : tensor<f32>, gain = dense<1.000000e+00> : tensor<f32>, node = "n"} : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    %n_1 = snn.add %n {constant = dense<2.500000e-01> : tensor<f32>, node = "n"} : (tensor<2xf32>) -> tensor<2xf32>
    %n_2 = snn.fire %n_1 {threshold = dense<1.500000e+00> : tensor<f32>, compare = ">=", node = "n"} : (tensor<2xf32>) -> tensor<2xi32>
    %n_3 = snn.reset %n_1, %n_2 {kind = "subtract", amount = dense<1.500000e+00> : tensor<f32>, node = "n"} : (tensor<2xf32>, tensor<2xi32>) -> tensor<2xf32>
    snn.yield %n_2, %n_3 : tensor<2xi32>, tensor<2xf32>
  }
}
