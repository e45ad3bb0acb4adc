builtin.module {
  cpu.kernel @main {arguments = [#cpu.argument<"input", "x", tensor<3xi1>, unit>, #cpu.argument<"state", "n.v", tensor<2xf32>, dense<0.000000e+00> : tensor<f32>>, #cpu.argument<"output", "y", tensor<2xi1>, unit>, #cpu.argument<"constant", "n.gain", tensor<2xf32>, dense<[1.500000e+00, 5.000000e-01]> : tensor<2xf32>>, #cpu.argument<"scratch", "bits.4", tensor<1xi64>, unit>, #cpu.argument<"constant", "w.sums", tensor<16xf32>, dense<[0.000000e+00, 0.000000e+00, 5.000000e-01, -1.000000e+00, 1.000000e+00, 2.500000e-01, 1.500000e+00, -7.500000e-01, -2.500000e-01, 7.500000e-01, 2.500000e-01, -2.500000e-01, 7.500000e-01, 1.000000e+00, 1.250000e+00, 0.000000e+00]> : tensor<16xf32>>], batch}
  func.func @main(%0: index, %1: index, %input_x: memref<?xi8>, %input_x_stride: index, %input_x_apart: index, %state_n_v: memref<?xf32>, %output_y: memref<?xi8>, %output_y_stride: index, %output_y_apart: index, %constant_n_gain: memref<2xf32>, %scratch_bits: memref<1xi64>, %constant_w_sums: memref<16xf32>) {
    %2 = arith.constant -2.500000e-01 : f32
    %3 = arith.constant 1.000000e+00 : f32
    %4 = arith.constant 7.500000e-01 : f32
    %5 = arith.constant 2 : index
    %6 = arith.constant 1 : index
    %7 = arith.constant 3 : index
    %8 = arith.constant 0 : i64
    %9 = arith.constant 64 : index
    %10 = arith.constant 0 : index
    %11 = arith.constant 16 : index
    scf.for %12 = %10 to %0 step %6 {
      scf.for %13 = %10 to %1 step %6 {
        %14 = arith.muli %13, %11 : index
        %15 = arith.muli %12, %input_x_stride : index
        %16 = arith.muli %13, %input_x_apart : index
        %17 = arith.addi %15, %16 : index
        %18 = arith.muli %12, %output_y_stride : index
        %19 = arith.muli %13, %output_y_apart : index
        %20 = arith.addi %18, %19 : index
        %21 = arith.divui %10, %9 : index
        %22 = arith.remui %10, %9 : index
        %23 = scf.for %24 = %10 to %7 step %6 iter_args(%25 = %8) -> (i64) {
          %26 = arith.index_cast %24 : index to i64
          %27 = arith.muli %21, %9 : index
          %28 = arith.addi %27, %24 : index
          %29 = arith.addi %17, %28 : index
          %30 = memref.load %input_x[%29] : memref<?xi8>
          %31 = arith.trunci %30 : i8 to i1
          %32 = arith.extui %31 : i1 to i64
          %33 = arith.shli %32, %26 : i64
          %34 = arith.ori %25, %33 : i64
          scf.yield %34 : i64
        } {rounds}
        memref.store %23, %scratch_bits[%21] : memref<1xi64>
        scf.for %35 = %10 to %5 step %6 {
          %36 = memref.load %scratch_bits[%10] : memref<1xi64>
          %37 = arith.index_cast %36 : i64 to index
          %38 = arith.muli %37, %5 : index
          %39 = arith.addi %38, %35 : index
          %40 = memref.load %constant_w_sums[%39] : memref<16xf32>
          %41 = arith.addi %14, %35 : index
          %42 = memref.load %state_n_v[%41] : memref<?xf32>
          %43 = arith.mulf %4, %42 : f32
          %44 = memref.load %constant_n_gain[%35] : memref<2xf32>
          %45 = arith.mulf %44, %40 : f32
          %46 = arith.addf %43, %45 : f32
          %47 = arith.cmpf ogt, %46, %3 : f32
          %48 = arith.select %47, %2, %46 : f32
          %49 = arith.extui %47 : i1 to i8
          %50 = arith.addi %20, %35 : index
          memref.store %49, %output_y[%50] : memref<?xi8>
          memref.store %48, %state_n_v[%41] : memref<?xf32>
        } {rounds}
      }
    }
    func.return
  }
}
