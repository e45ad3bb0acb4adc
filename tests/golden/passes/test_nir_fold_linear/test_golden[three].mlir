builtin.module {
  nir.graph @main attributes {inputs = ["x"], outputs = ["out"]} {
  ^bb0(%x: !nir.signal<3>):
    %y = nir.affine "y"(%x) {weight = dense<[[1.500000e+00, 5.000000e-01, 2.500000e-02], [2.500000e-01, -7.500000e-01, -5.000000e-02]]> : tensor<2x3xf64>, bias = dense<[1.250000e-01, -2.000000e+00]> : tensor<2xf64>} : (!nir.signal<3>) -> !nir.signal<2>
    nir.yield %y : !nir.signal<2>
  }
}
