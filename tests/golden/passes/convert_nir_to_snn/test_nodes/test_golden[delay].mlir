builtin.module attributes {nir.assumptions = [#nir.assumption<"given", "dt", "0.001 s">, #nir.assumption<"choice", "scheme", "nir-euler: forward Euler, gains from r and w_in, a neuron fires where v > threshold, an input value is a current that lasts one step">], nir.dt = 1.000000e-03 : f64} {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = [#snn.state<"n", "ring", dense<0.000000e+00> : tensor<f32>>], scheme = "nir-euler"} {
  ^bb0(%x: tensor<2xf32>, %ring: tensor<3x2xf32>):
    %n, %n_1 = snn.delay %x, %ring {steps = dense<3> : tensor<i32>, node = "n"} : (tensor<2xf32>, tensor<3x2xf32>) -> (tensor<2xf32>, tensor<3x2xf32>)
    snn.yield %n, %n_1 : tensor<2xf32>, tensor<3x2xf32>
  }
}
