;; load validate bad_exports
;; prelude without describe configure
;; no `lifecycle`
;; wit export lifecycle; => 
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
