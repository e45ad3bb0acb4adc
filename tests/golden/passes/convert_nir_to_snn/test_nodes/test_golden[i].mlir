builtin.module attributes {nir.assumptions = [#nir.assumption<"given", "dt", "0.001 s">, #nir.assumption<"choice", "scheme", "nir-euler: forward Euler, gains from r and w_in, a neuron fires where v > threshold, an input value is a current that lasts one step">, #nir.assumption<"choice", "gain of IF", "r (an input is a spike, whose effect does not depend on dt) for 'n'">], nir.dt = 1.000000e-03 : f64} {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = [#snn.state<"n", "v", dense<0.000000e+00> : tensor<f32>>], scheme = "nir-euler"} {
  ^bb0(%x: tensor<2xf32>, %v: tensor<2xf32>):
    %n = snn.filter %x, %v {decay = dense<1.000000e+00> : tensor<f32>, gain = dense<[2.000000e+00, -4.000000e+00]> : tensor<2xf32>, node = "n"} : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    snn.yield %n, %n : tensor<2xf32>, tensor<2xf32>
  }
}
