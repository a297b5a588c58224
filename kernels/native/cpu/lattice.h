// The lattice of a march from its numbers.
#pragma once
#include "bodies/march.h"

namespace formfield {

template <class T>
Lattice<T> make_lattice(double step, double cone_angle, double max_step) {
    Lattice<T> l{};
    l.step = T(step);
    l.first = step;
    l.max_step = larger(step, max_step);
    l.cone = cone_angle > 1e-5;
    if (l.cone) {
        l.rate = std::log1p(cone_angle);
        l.t_a = step / l.rate, l.t_b = l.max_step / l.rate;
        l.n_a = std::log(l.t_a) / l.rate, l.n_b = std::log(l.t_b) / l.rate;
    }
    return l;
}

}  // namespace formfield
