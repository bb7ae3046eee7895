;; load read too_large
;; prelude
;; manifest limits: { module: 1KiB }
;; repeat 100
(data (i32.const 8192) "some bytes of ballast")
;; end
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
