builtin.module {
  nir.graph @main attributes {inputs = ["x"], outputs = ["out"]} {
  ^bb0(%x: !nir.signal<2>):
    %y = nir.scale "y"(%x) {scale = dense<[6.000000e+00, -1.500000e+00]> : tensor<2xf64>} : (!nir.signal<2>) -> !nir.signal<2>
    nir.yield %y : !nir.signal<2>
  }
}
