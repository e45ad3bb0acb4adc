builtin.module attributes {nir.assumptions = [#nir.assumption<"note", "name", "the nested node 'a.li' is called 'a.li_'">]} {
  nir.graph @main attributes {inputs = ["x"], outputs = ["y"]} {
  ^bb0(%x: !nir.signal<2>):
    %n = nir.scale "a.li"(%x) {scale = dense<2.000000e+00> : tensor<2xf64>} : (!nir.signal<2>) -> !nir.signal<2>
    %s = nir.sum %x, %n : (!nir.signal<2>, !nir.signal<2>) -> !nir.signal<2>
    %li = nir.li "a.li_"(%s) {tau = dense<4.000000e+00> : tensor<2xf64>, r = dense<1.000000e+00> : tensor<2xf64>, v_leak = dense<0.000000e+00> : tensor<2xf64>} : (!nir.signal<2>) -> !nir.signal<2>
    nir.yield %li : !nir.signal<2>
  }
}
