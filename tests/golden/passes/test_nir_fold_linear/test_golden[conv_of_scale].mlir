builtin.module {
  nir.graph @main attributes {inputs = ["x"], outputs = ["out"]} {
  ^bb0(%x: !nir.signal<1x3x3>):
    %y = nir.conv2d "y"(%x) {stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, dilation = array<i64: 1, 1>, groups = 1 : i64, weight = dense<[[[[-2.000000e+00, -4.000000e+00], [-1.000000e+00, 2.000000e+00]]]]> : tensor<1x1x2x2xf64>, bias = dense<5.000000e-01> : tensor<1xf64>} : (!nir.signal<1x3x3>) -> !nir.signal<1x2x2>
    nir.yield %y : !nir.signal<1x2x2>
  }
}
