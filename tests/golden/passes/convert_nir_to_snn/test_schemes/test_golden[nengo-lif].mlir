builtin.module attributes {nir.assumptions = [#nir.assumption<"given", "dt", "0.001 s">, #nir.assumption<"given", "scheme", "nengo: exponential decay, gains 1-a (LIF), w(1-b) (synapse), a neuron fires where v > threshold, an input value is a current that lasts one step">, #nir.assumption<"given", "reset", "to 0 for 'n'">, #nir.assumption<"given", "gain", "r of 'n' is not used, as in the simulator of nengo">], nir.dt = 1.000000e-03 : f64} {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = [#snn.state<"n", "v", dense<0.000000e+00> : tensor<f32>>], scheme = "nengo"} {
  ^bb0(%x: tensor<2xf32>, %v: tensor<2xf32>):
    %n = snn.filter %x, %v {decay = dense<0.951229453> : tensor<f32>, gain = dense<0.0487705767> : tensor<f32>, node = "n"} : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    %n_1 = snn.fire %n {threshold = dense<1.500000e+00> : tensor<f32>, compare = ">", node = "n"} : (tensor<2xf32>) -> tensor<2xi1>
    %n_2 = snn.reset %n, %n_1 {kind = "value", amount = dense<0.000000e+00> : tensor<f32>, node = "n"} : (tensor<2xf32>, tensor<2xi1>) -> tensor<2xf32>
    %n_3 = snn.clamp %n_2 {low = dense<0.000000e+00> : tensor<f32>, node = "n"} : (tensor<2xf32>) -> tensor<2xf32>
    %n_4 = snn.scale %n_1 {factor = dense<1.000000e+03> : tensor<f32>, node = "n"} : (tensor<2xi1>) -> tensor<2xf32>
    snn.yield %n_4, %n_3 : tensor<2xf32>, tensor<2xf32>
  }
}
