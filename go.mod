module github.com/fdqc-cockpit/fdqc

go 1.26

require (
	github.com/BurntSushi/toml v1.6.0 // indirect
	github.com/go-json-experiment/json v1.27.2 // indirect
	go.uber.org/goleak v1.3.0 // indirect
)
