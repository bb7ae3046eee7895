;; load validate import_refused
;; whole
(component
  (import "wasi:cli/environment@0.2.6" (instance (export "get-arguments" (func (result (list string)))))))
