builtin.module attributes {nir.assumptions = [#nir.assumption<"choice", "recognized", "'li' (LI), 'y' (Threshold), 'back' (Scale) together are 'y' (LIF), reset by subtraction: a spike fed back is an impulse of area 1">, #nir.assumption<"note", "expanded", "'y' (LIF) becomes 'y_integrator' (LI), 'y' (Threshold), 'y_feedback' (Scale)">]} {
  nir.graph @main attributes {inputs = ["x"], outputs = ["out"]} {
  ^bb0(%x: !nir.signal<2>):
    %0 = nir.sum %x, %y : (!nir.signal<2>, !nir.signal<2>) -> !nir.signal<2>
    %y_1 = nir.li "y_integrator"(%0) {tau = dense<[5.000000e-01, 8.000000e-01]> : tensor<2xf64>, r = dense<[2.000000e+00, 4.000000e+00]> : tensor<2xf64>, v_leak = dense<1.000000e-01> : tensor<f64>} : (!nir.signal<2>) -> !nir.signal<2>
    %y_2 = nir.threshold "y"(%y_1) {threshold = dense<[6.000000e-01, 7.000000e-01]> : tensor<2xf64>} : (!nir.signal<2>) -> !nir.signal<2>
    %y = nir.scale "y_feedback"(%y_2) {scale = dense<[-1.500000e-01, -0.13999999999999999]> : tensor<2xf64>} : (!nir.signal<2>) -> !nir.signal<2>
    nir.yield %y_2 : !nir.signal<2>
  }
}
