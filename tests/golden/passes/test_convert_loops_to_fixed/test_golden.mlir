builtin.module attributes {nir.assumptions = [#nir.assumption<"note", "fixed point", "products are rounded to the nearest multiple of 2^-16, halves upwards, quotients downwards; sums, products and quotients beyond s15.16 saturate">]} {
  cpu.kernel @main {arguments = [#cpu.argument<"scratch", "b0", tensor<3xi32>, unit>, #cpu.argument<"scratch", "b1", tensor<3xi32>, unit>], fractions = array<i64: 16, 16>}
  func.func @fixed_saturate(%x: i64) -> i32 {
    %low = arith.constant -2147483648 : i64
    %high = arith.constant 2147483647 : i64
    %above = arith.maxsi %x, %low : i64
    %within = arith.minsi %above, %high : i64
    %r = arith.trunci %within : i64 to i32
    func.return %r : i32
  }
  func.func @fixed_multiply(%a: i32, %b: i32) -> i32 {
    %bits = arith.constant 16 : i64
    %half = arith.constant 32768 : i64
    %x = arith.extsi %a : i32 to i64
    %y = arith.extsi %b : i32 to i64
    %product = arith.muli %x, %y overflow<nsw> : i64
    %raised = arith.addi %product, %half overflow<nsw> : i64
    %nearest = arith.shrsi %raised, %bits : i64
    %r = func.call @fixed_saturate(%nearest) : (i64) -> i32
    func.return %r : i32
  }
  func.func @main(%steps: index, %a: memref<3xi32>, %b: memref<3xi32>) {
    %zero = arith.constant 0 : index
    %one = arith.constant 1 : index
    %size = arith.constant 3 : index
    scf.for %n = %zero to %size step %one {
      %a0 = memref.load %a[%n] : memref<3xi32>
      %k = arith.constant 49152 : i32
      %m = func.call @fixed_multiply(%a0, %k) : (i32, i32) -> i32
      %r = arith.constant -65536 : i32
      %r_1 = arith.andi %m, %r : i32
      memref.store %r_1, %b[%n] : memref<3xi32>
    }
    func.return
  }
}
