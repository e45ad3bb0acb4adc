builtin.module attributes {nir.assumptions = [#nir.assumption<"note", "recognized", "'syn' (LI), 'w' (Scale), 'y' (LIF) together are 'y' (CubaLIF)">]} {
  nir.graph @main attributes {inputs = ["x"], outputs = ["out"]} {
  ^bb0(%x: !nir.signal<2>):
    %y = nir.cuba_lif "y"(%x) {tau_mem = dense<[5.000000e-01, 8.000000e-01]> : tensor<2xf64>, tau_syn = dense<4.000000e-01> : tensor<f64>, r = dense<[1.000000e+00, 8.000000e+00]> : tensor<2xf64>, w_in = dense<3.000000e+00> : tensor<f64>, v_leak = dense<1.000000e-01> : tensor<f64>, v_threshold = dense<6.000000e-01> : tensor<f64>} : (!nir.signal<2>) -> !nir.signal<2>
    nir.yield %y : !nir.signal<2>
  }
}
