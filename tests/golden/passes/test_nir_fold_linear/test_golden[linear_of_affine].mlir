builtin.module {
  nir.graph @main attributes {inputs = ["x"], outputs = ["out"]} {
  ^bb0(%x: !nir.signal<3>):
    %y = nir.affine "y"(%x) {weight = dense<[[3.750000e-01, -5.500000e+00, 1.750000e+00], [3.187500e+00, -1.750000e+00, 2.500000e-01]]> : tensor<2x3xf64>, bias = dense<[6.125000e+00, -2.500000e+00]> : tensor<2xf64>} : (!nir.signal<3>) -> !nir.signal<2>
    nir.yield %y : !nir.signal<2>
  }
}
