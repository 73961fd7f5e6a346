package engine

import "github.com/fdqc-cockpit/fdqc/models"

// Weights are those that the directory was opened with.
func (d *Directory) Weights() *models.Weights { return d.weights }
