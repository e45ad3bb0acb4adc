builtin.module attributes {nir.assumptions = [#nir.assumption<"note", "dead nodes", "'dead', 'deader', 'loop', 'back' reach no Output and are removed">]} {
  nir.graph @main attributes {inputs = ["x", "unused"], outputs = ["out"]} {
  ^bb0(%x: !nir.signal<2>, %u: !nir.signal<2>):
    %a = nir.scale "a"(%x) {scale = dense<5.000000e-01> : tensor<f64>} : (!nir.signal<2>) -> !nir.signal<2>
    %y = nir.li "y"(%a) {tau = dense<5.000000e-01> : tensor<f64>, r = dense<1.000000e+00> : tensor<f64>, v_leak = dense<0.000000e+00> : tensor<f64>} : (!nir.signal<2>) -> !nir.signal<2>
    nir.yield %y : !nir.signal<2>
  }
}
