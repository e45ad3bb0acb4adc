builtin.module attributes {nir.assumptions = [#nir.assumption<"given", "dt", "0.001 s">, #nir.assumption<"choice", "scheme", "nir-euler: forward Euler, gains from r and w_in, a neuron fires where v > threshold, an input value is a current that lasts one step">, #nir.assumption<"note", "delay", "'n' delays all of its 1 elements by 0 steps">], nir.dt = 1.000000e-03 : f64} {
  snn.network @main attributes {inputs = ["x"], outputs = ["y"], states = [], scheme = "nir-euler"} {
  ^bb0(%x: tensor<2xf32>):
    snn.yield %x : tensor<2xf32>
  }
}
