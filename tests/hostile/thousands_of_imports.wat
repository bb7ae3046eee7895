;; load validate import_refused
;; whole
(component
;; repeat 20_000
(import "evil-{i}" (func))
;; end
)
