builtin.module {
  llvm.func @main(%steps: i64, %a: !llvm.ptr {llvm.noalias}, %b: !llvm.ptr {llvm.noalias}) {
    %zero = llvm.mlir.constant(0) : i64
    %one = llvm.mlir.constant(1) : i64
    %size = llvm.mlir.constant(14) : i64
    llvm.br ^bb1(%zero : i64)
  ^bb1(%n: i64):
    %0 = llvm.icmp "slt" %n, %size : i64
    llvm.cond_br %0, ^bb2, ^bb3
  ^bb2:
    %1 = llvm.getelementptr inbounds %a[%n] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    %a0 = llvm.load %1 : !llvm.ptr -> f32
    %s = llvm.fadd %a0, %a0 : f32
    %r = llvm.call_intrinsic "llvm.floor.f32"(%s) : (f32) -> f32
    %2 = llvm.getelementptr inbounds %b[%n] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    llvm.store %r, %2 : f32, !llvm.ptr
    %3 = llvm.add %n, %one : i64
    llvm.br ^bb1(%3 : i64)
  ^bb3:
    llvm.return
  }
}
