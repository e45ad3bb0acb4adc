builtin.module attributes {nir.assumptions = [#nir.assumption<"given", "dt", "0.001 s">, #nir.assumption<"choice", "scheme", "nir-euler: forward Euler, gains from r and w_in, a neuron fires where v > threshold, an input value is a current that lasts one step">], nir.dt = 1.000000e-03 : f64} {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = [], scheme = "nir-euler"} {
  ^bb0(%x: tensor<3xf32>):
    %n = snn.linear %x {weight = dense<[[1.000000e+00, -2.000000e+00, 5.000000e-01], [0.000000e+00, 4.000000e+00, 2.500000e-01]]> : tensor<2x3xf32>, node = "n"} : (tensor<3xf32>) -> tensor<2xf32>
    %n_1 = snn.add %n {constant = dense<[5.000000e-01, -1.500000e+00]> : tensor<2xf32>, node = "n"} : (tensor<2xf32>) -> tensor<2xf32>
    snn.yield %n_1 : tensor<2xf32>
  }
}
