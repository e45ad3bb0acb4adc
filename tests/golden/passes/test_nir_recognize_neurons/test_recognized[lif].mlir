builtin.module attributes {nir.assumptions = [#nir.assumption<"choice", "recognized", "'li' (LI), 'y' (Threshold), 'back' (Scale) together are 'y' (LIF), reset by subtraction: a spike fed back is an impulse of area 1">]} {
  nir.graph @main attributes {inputs = ["x"], outputs = ["out"]} {
  ^bb0(%x: !nir.signal<2>):
    %y = nir.lif "y"(%x) {tau = dense<[5.000000e-01, 8.000000e-01]> : tensor<2xf64>, r = dense<[2.000000e+00, 4.000000e+00]> : tensor<2xf64>, v_leak = dense<1.000000e-01> : tensor<f64>, v_threshold = dense<[6.000000e-01, 7.000000e-01]> : tensor<2xf64>, v_reset = dense<0.000000e+00> : tensor<2xf32>, metadata = {reset = "subtract"}} : (!nir.signal<2>) -> !nir.signal<2>
    nir.yield %y : !nir.signal<2>
  }
}
