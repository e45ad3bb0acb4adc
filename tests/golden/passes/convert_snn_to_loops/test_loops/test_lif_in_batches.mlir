builtin.module {
  cpu.kernel @main {arguments = [#cpu.argument<"input", "x", tensor<3xi1>, unit>, #cpu.argument<"state", "n.v", tensor<2xf32>, dense<0.000000e+00> : tensor<f32>>, #cpu.argument<"output", "y", tensor<2xi1>, unit>, #cpu.argument<"constant", "n.gain", tensor<2xf32>, dense<[1.500000e+00, 5.000000e-01]> : tensor<2xf32>>, #cpu.argument<"scratch", "bits.4", tensor<1xi64>, unit>, #cpu.argument<"constant", "w.sums", tensor<16xf32>, dense<[0.000000e+00, 0.000000e+00, 5.000000e-01, -1.000000e+00, 1.000000e+00, 2.500000e-01, 1.500000e+00, -7.500000e-01, -2.500000e-01, 7.500000e-01, 2.500000e-01, -2.500000e-01, 7.500000e-01, 1.000000e+00, 1.250000e+00, 0.000000e+00]> : tensor<16xf32>>], batch}
  func.func @main(%0: index, %1: index, %input_x: memref<?xi8>, %input_x_stride: index, %input_x_apart: index, %state_n_v: memref<?xf32>, %output_y: memref<?xi8>, %output_y_stride: index, %output_y_apart: index, %constant_n_gain: memref<2xf32>, %scratch_bits: memref<1xi64>, %constant_w_sums: memref<16xf32>) {
    %2 = arith.constant -2.500000e-01 : f32
    %3 = arith.constant 1.000000e+00 : f32
    %4 = arith.constant 7.500000e-01 : f32
    %5 = arith.constant 2 : index
    %6 = arith.constant 1 : index
    %7 = arith.constant 3 : index
    %8 = arith.constant 0 : index
    %9 = arith.constant 0 : i64
    %10 = arith.constant 16 : index
    scf.for %11 = %8 to %0 step %6 {
      scf.for %12 = %8 to %1 step %6 {
        %13 = arith.muli %12, %10 : index
        %14 = arith.muli %11, %input_x_stride : index
        %15 = arith.muli %12, %input_x_apart : index
        %16 = arith.addi %14, %15 : index
        %17 = arith.muli %11, %output_y_stride : index
        %18 = arith.muli %12, %output_y_apart : index
        %19 = arith.addi %17, %18 : index
        %20 = scf.for %21 = %8 to %7 step %6 iter_args(%22 = %9) -> (i64) {
          %23 = arith.index_cast %21 : index to i64
          %24 = arith.addi %16, %21 : index
          %25 = memref.load %input_x[%24] : memref<?xi8>
          %26 = arith.trunci %25 : i8 to i1
          %27 = arith.extui %26 : i1 to i64
          %28 = arith.shli %27, %23 : i64
          %29 = arith.ori %22, %28 : i64
          scf.yield %29 : i64
        } {rounds}
        memref.store %20, %scratch_bits[%8] : memref<1xi64>
        scf.for %30 = %8 to %5 step %6 {
          %31 = memref.load %scratch_bits[%8] : memref<1xi64>
          %32 = arith.index_cast %31 : i64 to index
          %33 = arith.muli %32, %5 : index
          %34 = arith.addi %33, %30 : index
          %35 = memref.load %constant_w_sums[%34] : memref<16xf32>
          %36 = arith.addi %13, %30 : index
          %37 = memref.load %state_n_v[%36] : memref<?xf32>
          %38 = arith.mulf %4, %37 : f32
          %39 = memref.load %constant_n_gain[%30] : memref<2xf32>
          %40 = arith.mulf %39, %35 : f32
          %41 = arith.addf %38, %40 : f32
          %42 = arith.cmpf ogt, %41, %3 : f32
          %43 = arith.select %42, %2, %41 : f32
          %44 = arith.extui %42 : i1 to i8
          %45 = arith.addi %19, %30 : index
          memref.store %44, %output_y[%45] : memref<?xi8>
          memref.store %43, %state_n_v[%36] : memref<?xf32>
        } {rounds}
      }
    }
    func.return
  }
}
