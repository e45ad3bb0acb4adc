builtin.module {
  nir.graph @main attributes {inputs = ["x"], outputs = ["y"]} {
  ^bb0(%x: !nir.signal<2>):
    %li = nir.li "a.l.li"(%x) {tau = dense<4.000000e+00> : tensor<2xf64>, r = dense<1.000000e+00> : tensor<2xf64>, v_leak = dense<0.000000e+00> : tensor<2xf64>} : (!nir.signal<2>) -> !nir.signal<2>
    %t = nir.scale "a.t"(%li) {scale = dense<2.000000e+00> : tensor<2xf64>} : (!nir.signal<2>) -> !nir.signal<2>
    nir.yield %t : !nir.signal<2>
  }
}
