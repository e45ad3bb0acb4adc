builtin.module {
  nir.graph @main attributes {inputs = ["x"], outputs = ["out"]} {
  ^bb0(%x: !nir.signal<3>):
    %y = nir.linear "y"(%x) {weight = dense<[[3.000000e+00, 1.000000e+00, 5.000000e-02], [5.000000e-01, -1.500000e+00, -1.000000e-01]]> : tensor<2x3xf64>} : (!nir.signal<3>) -> !nir.signal<2>
    nir.yield %y : !nir.signal<2>
  }
}
