builtin.module {
  nir.graph @main attributes {inputs = ["x"], outputs = ["y"]} {
  ^bb0(%x: !nir.signal<2>):
    %s = nir.sum %x, %x, %n, %t, %n, %x : (!nir.signal<2>, !nir.signal<2>, !nir.signal<2>, !nir.signal<2>, !nir.signal<2>, !nir.signal<2>) -> !nir.signal<2>
    %n = nir.scale "n"(%s) {scale = dense<2.000000e+00> : tensor<2xf64>} : (!nir.signal<2>) -> !nir.signal<2>
    %r = nir.sum %x, %n : (!nir.signal<2>, !nir.signal<2>) -> !nir.signal<2>
    %t = nir.scale "a.t"(%r) {scale = dense<2.000000e+00> : tensor<2xf64>} : (!nir.signal<2>) -> !nir.signal<2>
    nir.yield %n : !nir.signal<2>
  }
}
