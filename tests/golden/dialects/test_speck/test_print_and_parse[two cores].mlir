builtin.module {
  speck.network @main attributes {chip = "speck2f", inputs = [#speck.port<"x", "a", array<i64: 2, 4, 5>>], outputs = [#speck.port<"y", "a", array<i64: 36>>]} {
    speck.core {node = "a", linear = ["w"], input_shape = array<i64: 2, 4, 5>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, weights = dense<[[[[0, 1], [2, 3]], [[4, 5], [6, 7]]], [[[8, 9], [10, 11]], [[12, 13], [14, 15]]], [[[16, 17], [18, 19]], [[20, 21], [22, 23]]]]> : tensor<3x2x2x2xi32>, biases = dense<[1, 2, 3]> : tensor<3xi32>, threshold_high = dense<7> : tensor<i32>, threshold_low = dense<-7> : tensor<i32>, destinations = [#speck.destination<"b", 2 : i64, 0 : i64>]}
    speck.core {node = "b", linear = ["w"], input_shape = array<i64: 3, 1, 2>, stride = array<i64: 1, 1>, padding = array<i64: 0, 0>, weights = dense<1> : tensor<1x3x1x1xi32>, biases = dense<0> : tensor<1xi32>, threshold_high = dense<7> : tensor<i32>, threshold_low = dense<-7> : tensor<i32>, destinations = []}
  }
}
