// filter_id.h: the number that HDF5 files carry for this filter. The only place where it stands; it changes
// once, when the HDF Group registers one.
#ifndef H5NEURAL_FILTER_FILTER_ID_H_
#define H5NEURAL_FILTER_FILTER_ID_H_

#define H5NEURAL_FILTER_ID 41017

#endif  // H5NEURAL_FILTER_FILTER_ID_H_
