;; load instantiate guest_failed
;; prelude
;; manifest limits: { instances: 1 }
;; the encoder puts two small modules around it
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
