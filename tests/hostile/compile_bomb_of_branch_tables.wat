;; passes
;; prelude
(func (export "bomb") (param i32)
;; repeat 1_000
  block
;; end
;; repeat 1_000
  (block (br_table 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 {i} (local.get 0)))
;; end
;; repeat 1_000
  end
;; end
)
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
