builtin.module attributes {nir.assumptions = [#nir.assumption<"given", "dt", "0.001 s">, #nir.assumption<"choice", "scheme", "nir-euler: forward Euler, gains from r and w_in, a neuron fires where v > threshold, an input value is a current that lasts one step">], nir.dt = 1.000000e-03 : f64} {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = [], scheme = "nir-euler"} {
  ^bb0(%x: tensor<4x7xf32>):
    %n = snn.reshape %x {node = "n"} : (tensor<4x7xf32>) -> tensor<4x1x7xf32>
    %n_1 = snn.conv %n {weight = dense<[[[[2.500000e-01, 5.000000e-01, 7.500000e-01]], [[1.000000e+00, 1.250000e+00, 1.500000e+00]]], [[[1.750000e+00, 2.000000e+00, 2.250000e+00]], [[2.500000e+00, 2.750000e+00, 3.000000e+00]]]]> : tensor<2x2x1x3xf32>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, dilation = array<i64: 1, 1>, groups = 2 : i64, node = "n"} : (tensor<4x1x7xf32>) -> tensor<2x1x5xf32>
    %n_2 = snn.reshape %n_1 {node = "n"} : (tensor<2x1x5xf32>) -> tensor<2x5xf32>
    %n_3 = snn.add %n_2 {constant = dense<5.000000e-01> : tensor<f32>, node = "n"} : (tensor<2x5xf32>) -> tensor<2x5xf32>
    snn.yield %n_3 : tensor<2x5xf32>
  }
}
