builtin.module {
  nir.graph @main attributes {inputs = ["x"], outputs = ["out"]} {
  ^bb0(%x: !nir.signal<3>):
    %y = nir.linear "y"(%x) {weight = dense<[[3.000000e+00, -4.000000e+00, 1.000000e+00], [-2.500000e-01, -3.000000e+00, 1.000000e+00]]> : tensor<2x3xf64>} : (!nir.signal<3>) -> !nir.signal<2>
    nir.yield %y : !nir.signal<2>
  }
}
