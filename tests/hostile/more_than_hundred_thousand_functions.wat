;; load validate too_large
;; prelude
;; repeat 100_001
(func)
;; end
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
