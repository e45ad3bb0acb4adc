builtin.module attributes {nir.assumptions = [#nir.assumption<"choice", "recognized", "'i' (I), 'y' (Threshold), 'back' (Linear) together are 'y' (IF), reset by subtraction: a spike fed back is an impulse of area 1">, #nir.assumption<"note", "expanded", "'y' (IF) becomes 'y_integrator' (I), 'y' (Threshold), 'y_feedback' (Scale)">]} {
  nir.graph @main attributes {inputs = ["x"], outputs = ["out"]} {
  ^bb0(%x: !nir.signal<2>):
    %0 = nir.sum %x, %y : (!nir.signal<2>, !nir.signal<2>) -> !nir.signal<2>
    %y_1 = nir.i "y_integrator"(%0) {r = dense<2.000000e+00> : tensor<f64>} : (!nir.signal<2>) -> !nir.signal<2>
    %y_2 = nir.threshold "y"(%y_1) {threshold = dense<1.500000e+00> : tensor<f64>} : (!nir.signal<2>) -> !nir.signal<2>
    %y = nir.scale "y_feedback"(%y_2) {scale = dense<-7.500000e-01> : tensor<2xf64>} : (!nir.signal<2>) -> !nir.signal<2>
    nir.yield %y_2 : !nir.signal<2>
  }
}
