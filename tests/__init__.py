"""The tests: unit, property, contract, integration, faults, benchmarks."""
