builtin.module {
  cpu.kernel @main {arguments = [#cpu.argument<"input", "x", tensor<3xi8>, unit>, #cpu.argument<"state", "n.v", tensor<2xf32>, dense<0.000000e+00> : tensor<f32>>, #cpu.argument<"output", "y", tensor<2xi1>, unit>, #cpu.argument<"scratch", "w.3", tensor<2xf32>, unit>, #cpu.argument<"scratch", "events.4", tensor<3xi32>, unit>, #cpu.argument<"constant", "w.weight", tensor<6xf32>, dense<[5.000000e-01, -1.000000e+00, 1.000000e+00, 2.500000e-01, -2.500000e-01, 7.500000e-01]> : tensor<6xf32>>, #cpu.argument<"constant", "n.gain", tensor<2xf32>, dense<[1.500000e+00, 5.000000e-01]> : tensor<2xf32>>]}
  func.func @main(%0: index, %input_x: memref<?xi8>, %input_x_stride: index, %state_n_v: memref<2xf32>, %output_y: memref<?xi8>, %output_y_stride: index, %scratch_w: memref<2xf32>, %scratch_events: memref<3xi32>, %constant_w_weight: memref<6xf32>, %constant_n_gain: memref<2xf32>) {
    %1 = arith.constant -2.500000e-01 : f32
    %2 = arith.constant 1.000000e+00 : f32
    %3 = arith.constant 7.500000e-01 : f32
    %4 = arith.constant 2 : index
    %5 = arith.constant 0.000000e+00 : f32
    %6 = arith.constant 3 : index
    %7 = arith.constant 1 : index
    %8 = arith.constant 0 : i8
    %9 = arith.constant 0 : i64
    %10 = arith.constant 8 : index
    %11 = arith.constant 0 : index
    scf.for %12 = %11 to %0 step %7 {
      %13 = arith.muli %12, %input_x_stride : index
      %14 = arith.muli %12, %output_y_stride : index
      %15 = scf.for %16 = %11 to %11 step %7 iter_args(%17 = %11) -> (index) {
        %18 = arith.muli %16, %10 : index
        %19 = arith.addi %13, %18 : index
        %20 = memref.view %input_x[%19][] : memref<?xi8> to memref<1xi64>
        %21 = memref.load %20[%11] : memref<1xi64>
        %22 = arith.cmpi ne, %21, %9 : i64
        %23 = arith.addi %18, %10 : index
        %24 = scf.if %22 -> (index) {
          %25 = scf.for %26 = %18 to %23 step %7 iter_args(%27 = %17) -> (index) {
            %28 = arith.addi %13, %26 : index
            %29 = memref.load %input_x[%28] : memref<?xi8>
            %30 = arith.cmpi ne, %29, %8 : i8
            %31 = arith.index_cast %26 : index to i32
            memref.store %31, %scratch_events[%27] : memref<3xi32>
            %32 = arith.select %30, %7, %11 : index
            %33 = arith.addi %27, %32 : index
            scf.yield %33 : index
          }
          scf.yield %25 : index
        } else {
          scf.yield %17 : index
        }
        scf.yield %24 : index
      }
      %34 = scf.for %35 = %11 to %6 step %7 iter_args(%36 = %15) -> (index) {
        %37 = arith.addi %13, %35 : index
        %38 = memref.load %input_x[%37] : memref<?xi8>
        %39 = arith.cmpi ne, %38, %8 : i8
        %40 = arith.index_cast %35 : index to i32
        memref.store %40, %scratch_events[%36] : memref<3xi32>
        %41 = arith.select %39, %7, %11 : index
        %42 = arith.addi %36, %41 : index
        scf.yield %42 : index
      }
      scf.for %43 = %11 to %4 step %7 {
        memref.store %5, %scratch_w[%43] : memref<2xf32>
      }
      scf.for %44 = %11 to %34 step %7 {
        %45 = memref.load %scratch_events[%44] : memref<3xi32>
        %46 = arith.index_cast %45 : i32 to index
        %47 = arith.muli %46, %4 : index
        %48 = arith.addi %13, %46 : index
        %49 = memref.load %input_x[%48] : memref<?xi8>
        scf.for %50 = %11 to %4 step %7 {
          %51 = arith.addi %47, %50 : index
          %52 = memref.load %constant_w_weight[%51] : memref<6xf32>
          %53 = memref.load %scratch_w[%50] : memref<2xf32>
          %54 = arith.extui %49 : i8 to i64
          %55 = arith.sitofp %54 : i64 to f32
          %56 = arith.mulf %52, %55 : f32
          %57 = arith.addf %53, %56 : f32
          memref.store %57, %scratch_w[%50] : memref<2xf32>
        }
      }
      scf.for %58 = %11 to %4 step %7 {
        %59 = memref.load %scratch_w[%58] : memref<2xf32>
        %60 = memref.load %state_n_v[%58] : memref<2xf32>
        %61 = arith.mulf %3, %60 : f32
        %62 = memref.load %constant_n_gain[%58] : memref<2xf32>
        %63 = arith.mulf %62, %59 : f32
        %64 = arith.addf %61, %63 : f32
        %65 = arith.cmpf ogt, %64, %2 : f32
        %66 = arith.select %65, %1, %64 : f32
        %67 = arith.extui %65 : i1 to i8
        %68 = arith.addi %14, %58 : index
        memref.store %67, %output_y[%68] : memref<?xi8>
        memref.store %66, %state_n_v[%58] : memref<2xf32>
      }
    }
    func.return
  }
}
