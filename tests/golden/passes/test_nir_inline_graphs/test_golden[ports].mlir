builtin.module {
  nir.graph @main attributes {inputs = ["x", "z"], outputs = ["y", "w"]} {
  ^bb0(%x: !nir.signal<2>, %z: !nir.signal<2>):
    %s = nir.scale "a.s"(%x) {scale = dense<2.000000e+00> : tensor<2xf64>} : (!nir.signal<2>) -> !nir.signal<2>
    %t = nir.scale "a.t"(%z) {scale = dense<3.000000e+00> : tensor<2xf64>} : (!nir.signal<2>) -> !nir.signal<2>
    nir.yield %t, %s : !nir.signal<2>, !nir.signal<2>
  }
}
