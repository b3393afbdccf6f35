;; The product of float32 matrices, y = a b, with vector instructions: what BLAS does where there is one.
;;
;; NumPy in the browser has no BLAS, and none of its loops uses vectors. Here a tile of 4 rows and 8 columns of y stays in
;; registers while j runs over the K terms: for each j two vectors of b and one number of a for each row. All addresses and
;; strides are in bytes, in the memory of Python itself. The columns of b and y lie 4 bytes apart; a may lie in any way.
;; worker.js calls it; laboratory/product.py says for which arrays.
(module
  (import "env" "memory" (memory 0))

  ;; y[0:4, 0:8], which lies at y
  (func $tile
    (param $a i32) (param $a_row i32) (param $a_column i32) (param $b i32) (param $b_row i32)
    (param $y i32) (param $y_row i32) (param $k i32)
    (local $r1 i32) (local $r2 i32) (local $r3 i32)
    (local $low v128) (local $high v128) (local $x v128)
    (local $y00 v128) (local $y01 v128) (local $y10 v128) (local $y11 v128)
    (local $y20 v128) (local $y21 v128) (local $y30 v128) (local $y31 v128)
    (local.set $r1 (i32.add (local.get $a) (local.get $a_row)))
    (local.set $r2 (i32.add (local.get $r1) (local.get $a_row)))
    (local.set $r3 (i32.add (local.get $r2) (local.get $a_row)))
    (block $done
      (loop $terms
        (br_if $done (i32.eqz (local.get $k)))
        (local.set $low (v128.load (local.get $b)))
        (local.set $high (v128.load offset=16 (local.get $b)))
        (local.set $x (v128.load32_splat (local.get $a)))
        (local.set $y00 (f32x4.add (local.get $y00) (f32x4.mul (local.get $x) (local.get $low))))
        (local.set $y01 (f32x4.add (local.get $y01) (f32x4.mul (local.get $x) (local.get $high))))
        (local.set $x (v128.load32_splat (local.get $r1)))
        (local.set $y10 (f32x4.add (local.get $y10) (f32x4.mul (local.get $x) (local.get $low))))
        (local.set $y11 (f32x4.add (local.get $y11) (f32x4.mul (local.get $x) (local.get $high))))
        (local.set $x (v128.load32_splat (local.get $r2)))
        (local.set $y20 (f32x4.add (local.get $y20) (f32x4.mul (local.get $x) (local.get $low))))
        (local.set $y21 (f32x4.add (local.get $y21) (f32x4.mul (local.get $x) (local.get $high))))
        (local.set $x (v128.load32_splat (local.get $r3)))
        (local.set $y30 (f32x4.add (local.get $y30) (f32x4.mul (local.get $x) (local.get $low))))
        (local.set $y31 (f32x4.add (local.get $y31) (f32x4.mul (local.get $x) (local.get $high))))
        (local.set $a (i32.add (local.get $a) (local.get $a_column)))
        (local.set $r1 (i32.add (local.get $r1) (local.get $a_column)))
        (local.set $r2 (i32.add (local.get $r2) (local.get $a_column)))
        (local.set $r3 (i32.add (local.get $r3) (local.get $a_column)))
        (local.set $b (i32.add (local.get $b) (local.get $b_row)))
        (local.set $k (i32.sub (local.get $k) (i32.const 1)))
        (br $terms)))
    (v128.store (local.get $y) (local.get $y00))
    (v128.store offset=16 (local.get $y) (local.get $y01))
    (local.set $y (i32.add (local.get $y) (local.get $y_row)))
    (v128.store (local.get $y) (local.get $y10))
    (v128.store offset=16 (local.get $y) (local.get $y11))
    (local.set $y (i32.add (local.get $y) (local.get $y_row)))
    (v128.store (local.get $y) (local.get $y20))
    (v128.store offset=16 (local.get $y) (local.get $y21))
    (local.set $y (i32.add (local.get $y) (local.get $y_row)))
    (v128.store (local.get $y) (local.get $y30))
    (v128.store offset=16 (local.get $y) (local.get $y31)))

  ;; y[0, 0]: what is left at the edges
  (func $cell
    (param $a i32) (param $a_column i32) (param $b i32) (param $b_row i32) (param $y i32) (param $k i32)
    (local $sum f32)
    (block $done
      (loop $terms
        (br_if $done (i32.eqz (local.get $k)))
        (local.set $sum (f32.add (local.get $sum) (f32.mul (f32.load (local.get $a)) (f32.load (local.get $b)))))
        (local.set $a (i32.add (local.get $a) (local.get $a_column)))
        (local.set $b (i32.add (local.get $b) (local.get $b_row)))
        (local.set $k (i32.sub (local.get $k) (i32.const 1)))
        (br $terms)))
    (f32.store (local.get $y) (local.get $sum)))

  ;; y (n, m) = a (n, k) b (k, m)
  (func (export "product")
    (param $a i32) (param $a_row i32) (param $a_column i32) (param $b i32) (param $b_row i32)
    (param $y i32) (param $y_row i32) (param $n i32) (param $k i32) (param $m i32)
    (local $rows i32) (local $row i32) (local $column i32) (local $here i32)
    (block $done
      (loop $bands
        (br_if $done (i32.eqz (local.get $n)))
        (local.set $rows (select (i32.const 4) (local.get $n) (i32.gt_u (local.get $n) (i32.const 4))))
        (local.set $column (i32.const 0))
        (block $end
          (loop $columns
            (br_if $end (i32.ge_u (local.get $column) (local.get $m)))
            (local.set $here (i32.shl (local.get $column) (i32.const 2)))
            (if (i32.and
                  (i32.eq (local.get $rows) (i32.const 4))
                  (i32.le_u (i32.add (local.get $column) (i32.const 8)) (local.get $m)))
              (then
                (call $tile
                  (local.get $a) (local.get $a_row) (local.get $a_column)
                  (i32.add (local.get $b) (local.get $here)) (local.get $b_row)
                  (i32.add (local.get $y) (local.get $here)) (local.get $y_row) (local.get $k))
                (local.set $column (i32.add (local.get $column) (i32.const 8))))
              (else
                (local.set $row (i32.const 0))
                (loop $each
                  (call $cell
                    (i32.add (local.get $a) (i32.mul (local.get $row) (local.get $a_row))) (local.get $a_column)
                    (i32.add (local.get $b) (local.get $here)) (local.get $b_row)
                    (i32.add
                      (i32.add (local.get $y) (i32.mul (local.get $row) (local.get $y_row))) (local.get $here))
                    (local.get $k))
                  (local.set $row (i32.add (local.get $row) (i32.const 1)))
                  (br_if $each (i32.lt_u (local.get $row) (local.get $rows))))
                (local.set $column (i32.add (local.get $column) (i32.const 1)))))
            (br $columns)))
        (local.set $a (i32.add (local.get $a) (i32.mul (local.get $rows) (local.get $a_row))))
        (local.set $y (i32.add (local.get $y) (i32.mul (local.get $rows) (local.get $y_row))))
        (local.set $n (i32.sub (local.get $n) (local.get $rows)))
        (br $bands)))))
