;; passes
;; prelude
;; 20 kB that say nothing; hundreds of its kind stand in one folder
(data (i32.const 8192)
;; repeat 250
"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
;; end
)
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
