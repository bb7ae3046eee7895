;; load validate bad_exports
;; prelude
;; wit export pre-check; => 
