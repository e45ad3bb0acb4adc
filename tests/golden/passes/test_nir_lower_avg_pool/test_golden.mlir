builtin.module {
  nir.graph @main attributes {inputs = ["x"], outputs = ["pool_sum"]} {
  ^bb0(%x: !nir.signal<2x5x4>):
    %y = nir.sum_pool2d "pool_sum_"(%x) {kernel_size = array<i64: 3, 2>, stride = array<i64: 2, 1>, padding = array<i64: 1, 0>} : (!nir.signal<2x5x4>) -> !nir.signal<2x3x3>
    %y_1 = nir.scale "pool"(%y) {scale = dense<0.16666666666666666> : tensor<2x3x3xf64>, metadata = {of = "me"}} : (!nir.signal<2x3x3>) -> !nir.signal<2x3x3>
    nir.yield %y_1 : !nir.signal<2x3x3>
  }
}
