builtin.module attributes {nir.assumptions = [#nir.assumption<"choice", "recognized", "'i' (I), 'y' (Threshold), 'back' (Linear) together are 'y' (IF), reset by subtraction: a spike fed back is an impulse of area 1">]} {
  nir.graph @main attributes {inputs = ["x"], outputs = ["out"]} {
  ^bb0(%x: !nir.signal<2>):
    %y = nir.if "y"(%x) {r = dense<2.000000e+00> : tensor<f64>, v_threshold = dense<1.500000e+00> : tensor<f64>, v_reset = dense<0.000000e+00> : tensor<2xf32>, metadata = {reset = "subtract"}} : (!nir.signal<2>) -> !nir.signal<2>
    nir.yield %y : !nir.signal<2>
  }
}
