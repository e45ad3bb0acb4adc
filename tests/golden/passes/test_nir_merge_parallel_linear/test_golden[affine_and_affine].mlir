builtin.module attributes {nir.assumptions = [#nir.assumption<"note", "merged", "the parallel paths 'a', 'b' become 'a'">]} {
  nir.graph @main attributes {inputs = ["w", "x"], outputs = ["out"]} {
  ^bb0(%w: !nir.signal<2>, %x: !nir.signal<2>):
    %a = nir.affine "a"(%x) {weight = dense<[[2.000000e+00, -1.000000e+00], [2.250000e+00, 2.000000e+00]]> : tensor<2x2xf64>, bias = dense<[5.000000e-01, -8.000000e+00]> : tensor<2xf64>} : (!nir.signal<2>) -> !nir.signal<2>
    %c = nir.scale "c"(%w) {scale = dense<2.000000e+00> : tensor<f64>} : (!nir.signal<2>) -> !nir.signal<2>
    %t = nir.sum %a, %c : (!nir.signal<2>, !nir.signal<2>) -> !nir.signal<2>
    nir.yield %t : !nir.signal<2>
  }
}
