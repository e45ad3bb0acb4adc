builtin.module attributes {nir.assumptions = [#nir.assumption<"given", "dt", "0.001 s">, #nir.assumption<"choice", "scheme", "nir-euler: forward Euler, gains from r and w_in, a neuron fires where v > threshold, an input value is a current that lasts one step">], nir.dt = 1.000000e-03 : f64} {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = [], scheme = "nir-euler"} {
  ^bb0(%x: tensor<2x4x6xf32>):
    %n = snn.pool %x {kernel = array<i64: 2, 3>, stride = array<i64: 2, 2>, padding = array<i64: 0, 0, 1, 1>, node = "n"} : (tensor<2x4x6xf32>) -> tensor<2x2x3xf32>
    %n_1 = snn.scale %n {factor = dense<0.166666672> : tensor<f32>, node = "n"} : (tensor<2x2x3xf32>) -> tensor<2x2x3xf32>
    snn.yield %n_1 : tensor<2x2x3xf32>
  }
}
