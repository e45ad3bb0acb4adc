builtin.module attributes {nir.assumptions = [#nir.assumption<"given", "dt", "0.001 s">, #nir.assumption<"choice", "scheme", "nir-euler: forward Euler, gains from r and w_in, a neuron fires where v > threshold, an input value is a current that lasts one step">], nir.dt = 1.000000e-03 : f64} {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = [], scheme = "nir-euler"} {
  ^bb0(%x: tensor<2x3x4xf32>):
    %n = snn.reshape %x {node = "n"} : (tensor<2x3x4xf32>) -> tensor<24xf32>
    snn.yield %n : tensor<24xf32>
  }
}
