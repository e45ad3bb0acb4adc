builtin.module attributes {nir.assumptions = [#nir.assumption<"note", "recognized", "'syn' (LI), 'y' (LIF) together are 'y' (CubaLIF)">, #nir.assumption<"note", "expanded", "'y' (CubaLIF) becomes 'y_synapse' (LI), 'y' (LIF)">]} {
  nir.graph @main attributes {inputs = ["x"], outputs = ["out"]} {
  ^bb0(%x: !nir.signal<2>):
    %y = nir.li "y_synapse"(%x) {tau = dense<4.000000e-01> : tensor<f64>, r = dense<3.000000e+00> : tensor<f64>, v_leak = dense<0.000000e+00> : tensor<2xf32>} : (!nir.signal<2>) -> !nir.signal<2>
    %y_1 = nir.lif "y"(%y) {tau = dense<[5.000000e-01, 8.000000e-01]> : tensor<2xf64>, r = dense<[2.000000e+00, 4.000000e+00]> : tensor<2xf64>, v_leak = dense<1.000000e-01> : tensor<f64>, v_threshold = dense<6.000000e-01> : tensor<f64>} : (!nir.signal<2>) -> !nir.signal<2>
    nir.yield %y_1 : !nir.signal<2>
  }
}
